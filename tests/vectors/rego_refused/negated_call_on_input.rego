package team.rules

allow if not blocked(input.tool.arguments.to) # refused: not over a value that may be undefined: give it a name with := first

blocked(name) if name == "mallory"
