package team.rules

allow if {
	amount := input.tool.arguments.amount
	is_number(amount)
	not amount > 1000 # refused: not over a comparison is true for values of the wrong type: compare the other way
}
