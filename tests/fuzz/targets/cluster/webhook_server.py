"""What a client sends to the controller's ports: each connection ends, with HTTP responses or with none."""

import asyncio
import atexit

import h11
from acr_credential_provider.pull_secrets.serving.http_server import Answer, Limits, Server

LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)
LIMITS = Limits(body=4096, bodies=8192, request=1.0, idle=1.0)


class Writer:
    """What a client would be sent."""

    def __init__(self):
        self.sent = b""
        self.transport = self

    def write(self, data):
        self.sent += data

    async def drain(self):
        pass

    async def wait_closed(self):
        pass

    def close(self):
        pass

    def abort(self):
        pass

    def get_extra_info(self, _name):
        return "192.0.2.1", 1234

    def get_write_buffer_size(self):
        return 0


async def echo(request):
    assert isinstance(request.path, str)
    return Answer(200, request.body)


def fail(_path, error):
    raise error  # what the server would log as a mistake of ours


async def serve(data):
    server = Server({"/": echo, "/healthz": echo}, address=("127.0.0.1", 0), limits=LIMITS)
    server._log_failure = fail
    reader, writer = asyncio.StreamReader(), Writer()
    reader.feed_data(data)
    reader.feed_eof()
    await asyncio.create_task(server._handle_connection(reader, writer))
    assert not server._held
    assert server.connections == 0
    return writer.sent


def fuzz(data):
    sent = LOOP.run_until_complete(serve(data))
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    if sent:
        client.receive_data(sent)
        response = client.next_event()
        assert isinstance(response, h11.Response)
        assert response.status_code in (200, 400, 404, 411, 413, 414, 431, 501, 503), response.status_code
