package team.rules

known := {"a"}

allow if known("a") # refused: function known is not defined
