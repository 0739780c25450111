"""Receives traces over OTLP, both over gRPC and HTTP, and prints every span as a line of JSON.

The first line says the ports. An argument says how it answers: ok, refuse, or stall (it never answers). With two more, files of
a certificate and its key, it speaks TLS.
"""

import json
import ssl
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc

MODE = sys.argv[1]
TLS = sys.argv[2:4]
PRINTING = threading.Lock()


def say(line):
    with PRINTING:
        print(json.dumps(line), flush=True)


def value(any_value):
    kind = any_value.WhichOneof("value")
    return None if kind is None else getattr(any_value, kind)


def values(attributes):
    return {attribute.key: value(attribute.value) for attribute in attributes}


def receive(protocol, request, headers):
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                say(
                    {
                        "protocol": protocol,
                        "token": headers.get("x-token"),
                        "resource": values(group.resource.attributes),
                        "scope": [scope.scope.name, scope.scope.version],
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "state": span.trace_state,
                        "name": span.name,
                        "kind": span.kind,
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "attributes": values(span.attributes),
                        "status": span.status.code,
                        "flags": span.flags,
                        "all": json.dumps(MessageToDict(span)),
                    }
                )


class Grpc(service_grpc.TraceServiceServicer):
    def Export(self, request, context):
        if MODE == "stall":
            say({"asked": "grpc"})
            time.sleep(3600)
        if MODE == "refuse":
            say({"asked": "grpc"})
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        receive("grpc", request, dict(context.invocation_metadata()))
        return service.ExportTraceServiceResponse()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fits = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
        if MODE == "stall":
            say({"asked": "http"})
            time.sleep(3600)
        if MODE == "refuse" or not fits:
            say({"asked": "http"})
            self.answer(403 if fits else 404, b"")
            return
        receive("http", service.ExportTraceServiceRequest.FromString(body), self.headers)
        self.answer(200, service.ExportTraceServiceResponse().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


over_grpc = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
service_grpc.add_TraceServiceServicer_to_server(Grpc(), over_grpc)
over_http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
if TLS:
    certificate, key = (open(file, "rb").read() for file in TLS)
    grpc_port = over_grpc.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*TLS)
    over_http.socket = context.wrap_socket(over_http.socket, server_side=True)
else:
    grpc_port = over_grpc.add_insecure_port("127.0.0.1:0")
over_grpc.start()
over_http.daemon_threads = True
say({"grpc": grpc_port, "http": over_http.server_port})
over_http.serve_forever()
