"""Stands in for the SDK's WebSocket client: no ACR or STS operation speaks WebSocket."""

from left_out import left_out

get_web_socket_enable_reconnect = left_out("darabonba.websocket.get_web_socket_enable_reconnect")
get_web_socket_handshake_timeout = left_out("darabonba.websocket.get_web_socket_handshake_timeout")
get_web_socket_max_reconnect_times = left_out("darabonba.websocket.get_web_socket_max_reconnect_times")
get_web_socket_ping_interval = left_out("darabonba.websocket.get_web_socket_ping_interval")
get_web_socket_pong_timeout = left_out("darabonba.websocket.get_web_socket_pong_timeout")
get_web_socket_reconnect_interval = left_out("darabonba.websocket.get_web_socket_reconnect_interval")
get_web_socket_write_timeout = left_out("darabonba.websocket.get_web_socket_write_timeout")
new_websocket_client_and_connect = left_out("darabonba.websocket.new_websocket_client_and_connect")
