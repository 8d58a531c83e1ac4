package team.rules

allow if replace(input.request.path, "", "-") == "" # refused: argument 2 of replace is empty
