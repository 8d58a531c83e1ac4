package team.rules

allow if true

unasked if nosuch(1) # refused: function nosuch is not defined
