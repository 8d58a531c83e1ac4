package team.rules

allow if glob.match("read:data:*", [":"], "read:data:x:y") # refused: function glob.match is not allowed
