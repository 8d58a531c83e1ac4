package team.rules

allow if print("here") # refused: function print is not defined
