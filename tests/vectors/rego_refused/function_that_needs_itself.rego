package team.rules

long(x) if long(x) # refused: rule long needs itself, or a variable has its name
