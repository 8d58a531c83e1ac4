package team.rules

allow if replace(input.request.path, "a", input.request.host) == "" # refused: argument 3 of replace is not a literal text
