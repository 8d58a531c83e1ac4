package team.rules

allow if json.unmarshal("1e400") == 1 # refused: function json.unmarshal is not allowed
