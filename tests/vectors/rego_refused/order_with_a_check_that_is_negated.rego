package team.rules

allow if {
	amount := input.tool.arguments.amount
	not is_number(amount)
	amount < 1000 # refused: an order of values that need not be numbers: check them with is_number
}
