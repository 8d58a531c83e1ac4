package team.rules

pattern := `a`

allow if regex.match(pattern, "a") # refused: argument 1 of regex.match is not a literal text
