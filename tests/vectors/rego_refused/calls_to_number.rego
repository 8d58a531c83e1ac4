package team.rules

allow if to_number("1_000") == 1000 # refused: function to_number is not allowed
