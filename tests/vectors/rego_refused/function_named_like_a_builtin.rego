package team.rules

contains(_, _) if true

allow if contains("ab", "x") # refused: function contains has the name of a builtin
