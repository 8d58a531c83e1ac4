package team.rules

allow if allow # refused: rule allow needs itself, or a variable has its name
