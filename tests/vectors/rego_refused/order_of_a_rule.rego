package team.rules

limit := "1000"

allow if 5 < limit # refused: an order of values that need not be numbers: check them with is_number
