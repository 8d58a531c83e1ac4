package team.rules

allow if regex.match(input.tool.name, "a") # refused: argument 1 of regex.match is not a literal text
