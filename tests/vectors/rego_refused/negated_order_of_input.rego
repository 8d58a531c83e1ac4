package team.rules

allow if not input.tool.arguments.amount > 1000 # refused: an order of values that need not be numbers: check them with is_number | not over a comparison is true for values of the wrong type: compare the other way
