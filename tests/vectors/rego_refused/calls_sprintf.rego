package team.rules

allow if sprintf("%d", [1.5]) == "1" # refused: function sprintf is not allowed
