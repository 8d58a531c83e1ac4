package team.rules

one if other # refused: rule one needs itself, or a variable has its name

other if one # refused: rule other needs itself, or a variable has its name
