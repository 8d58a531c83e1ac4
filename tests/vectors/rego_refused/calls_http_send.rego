package team.rules

allow if http.send({"method": "GET", "url": "https://other.example"}).status_code == 200 # refused: function http.send is not allowed
