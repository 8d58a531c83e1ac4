package team.rules

import data # refused: import of data, which does not exist

allow if true
