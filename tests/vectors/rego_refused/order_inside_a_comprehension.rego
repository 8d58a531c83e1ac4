package team.rules

large := [amount |
	some amount in input.tool.arguments.amounts
	amount >= 1000 # refused: an order of values that need not be numbers: check them with is_number
]
