"""An SMTP server for tests: takes mail and writes it to a file as JSON lines.

    smtp_server.py --port N --mails FILE [--tls implicit|starttls --cert F --key F]
                   [--user U --password P]

Recipients decide the answer: `busy@...` is refused for now (451), `unknown@...`
for good (550). With --user, mail is taken only after authentication over TLS.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Mailbox:
    def __init__(self, path):
        self.path = path

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("busy@"):
            return "451 4.2.0 try again later"
        if address.startswith("unknown@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        bodies = {kind: message.get_body(preferencelist=(kind,)) for kind in ("plain", "html")}
        record = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "text": bodies["plain"].get_content() if bodies["plain"] else None,
            "html": bodies["html"].get_content() if bodies["html"] else None,
            "raw": envelope.content.decode("utf-8", "replace"),
        }
        with open(self.path, "a", encoding="utf-8") as mails:
            mails.write(json.dumps(record) + "\n")
        return "250 OK"


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mails", required=True)
    parser.add_argument("--tls", choices=["implicit", "starttls"])
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--user")
    parser.add_argument("--password")
    return parser.parse_args()


async def serve(args):
    context = None
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)

    def authenticate(server, session, envelope, mechanism, data):
        name, password = data.login.decode(), data.password.decode()
        good = (name, password) == (args.user, args.password)
        return AuthResult(success=good, handled=False, auth_data=name)

    def protocol():
        return SMTP(
            Mailbox(args.mails),
            tls_context=context if args.tls == "starttls" else None,
            require_starttls=args.tls == "starttls",
            auth_required=args.user is not None,
            # Under implicit TLS the library does not see that the connection is
            # encrypted, so it must not ask for STARTTLS first.
            auth_require_tls=args.tls == "starttls",
            authenticator=authenticate if args.user else None,
        )

    listen_context = context if args.tls == "implicit" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", args.port, ssl=listen_context)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(options()))
