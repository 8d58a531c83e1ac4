package team.rules

allow if concat(input.request.path, ["a", "b"]) == "" # refused: argument 1 of concat is not a literal text
