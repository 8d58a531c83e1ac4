package team.rules

allow if data.limts.transfer == 5 # refused: reference to data.limts.transfer, which does not exist
