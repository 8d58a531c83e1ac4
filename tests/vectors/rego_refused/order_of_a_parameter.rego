package team.rules

small(amount) if amount < 1000 # refused: an order of values that need not be numbers: check them with is_number
