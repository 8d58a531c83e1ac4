package team.rules

to := input.tool.arguments.to

allow if not blocked(to) # refused: not over a value that may be undefined: give it a name with := first

blocked(name) if name == "mallory"
