package team.rules

allow if trace("here") # refused: function trace is not allowed
