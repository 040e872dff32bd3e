#!/usr/bin/env python3
"""Broadcasts a file or a test pattern: creates a stream, publishes to it, follows it, and ends it cleanly.

Needs Python 3.9 or newer with nothing but its standard library, and ffmpeg. The API key comes from NOVA_API_KEY
(scopes streams:read and streams:write) and is never printed.

    export NOVA_API_KEY=...
    python3 broadcaster.py                          # a test pattern with a clock and a tone, until Ctrl-C
    python3 broadcaster.py --input talk.mp4 --title "My talk"
    python3 broadcaster.py --site https://live.example.com --seconds 60 --delete

Exit codes: 0 it was broadcast to its end, or until Ctrl-C; 1 the API refused, or the broadcast ended by a fault;
2 wrong usage; 3 ffmpeg failed; 4 nothing answered at the site.

ffmpeg takes the stream key on its command line, where other users of this machine can read it.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

REFUSED, USAGE, ENCODER, UNREACHABLE = 1, 2, 3, 4

# How often a call is tried that was not let in (429), that the server could not answer (503), or that did not get through.
MAX_TRIES = 5
MAX_WAIT_SECONDS = 60
# How often an encoder that breaks off is started again; the stream waits for it (reconnect_window_seconds).
MAX_ENCODERS = 5


class Stop(Exception):
    """The program ends with a message and an exit code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Refused(Exception):
    """The API answered with an error: its body is {error, message, request_id}."""

    def __init__(self, status, body):
        super().__init__(f"{body.get('message', 'no message')} ({status} {body.get('error', 'unknown')}, request {body.get('request_id', '?')})")
        self.status = status
        self.code = body.get("error")


class KeepMethod(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key elsewhere, or turn a POST into a GET."""

    def redirect_request(self, *_):
        return None


class Api:
    """The calls that a broadcaster needs. Each waits and tries again where that helps, until the program is to end."""

    def __init__(self, site, key, ending):
        self.site = site.rstrip("/")
        self._key = key
        self._ending = ending
        self._opener = urllib.request.build_opener(KeepMethod)

    def call(self, method, path, body=None, headers=None, tries=MAX_TRIES):
        """The answer's JSON, None where it has no body. Raises Refused, or Stop where nothing answers."""
        for attempt in range(1, tries + 1):
            try:
                return self._once(method, path, body, headers or {})
            except urllib.error.HTTPError as error:
                refusal = Refused(error.code, read_json(error.read()) or {})
                wait = retry_after(error.headers.get("Retry-After"), attempt)
                if error.code not in (429, 503) or attempt == tries:
                    raise refusal from None
                trouble = f"the API said {error.code}"
            except (OSError, http.client.HTTPException) as error:
                wait = retry_after(None, attempt)
                trouble = f"nothing answers at {self.site}: {getattr(error, 'reason', error)}"
                if attempt == tries:
                    raise Stop(UNREACHABLE, trouble) from None
            print(f"broadcaster: {trouble}; once more in {wait:.0f} s", file=sys.stderr, flush=True)
            if self._ending.is_set():
                # What is asked on the way out is worth a short wait only.
                time.sleep(min(wait, 3))
            elif self._ending.wait(wait):
                raise Stop(UNREACHABLE, f"stopped before {self.site} could answer")
        raise AssertionError("a last try neither answered nor failed")

    def _once(self, method, path, body, headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.site}/api/v1{path}", data=data, method=method)
        request.add_header("Authorization", f"Bearer {self._key}")
        request.add_header("User-Agent", "nova-edge-broadcaster-example")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name, value)
        with self._opener.open(request, timeout=10) as answer:
            return read_json(answer.read())


def read_json(data):
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def retry_after(header, attempt):
    """Seconds until the next try: what the server asks for, else twice as long each time."""
    wait = float(header) if header and header.isdigit() else 0.5 * 2**attempt
    return min(wait, MAX_WAIT_SECONDS)


def encoder_arguments(options, url, offset, seconds):
    """An ffmpeg that sends H.264 and AAC in real time, with a key frame every two seconds."""
    if options.input is None:
        # testsrc2 draws a clock of its own.
        source = ["-re", "-f", "lavfi", "-i", f"testsrc2=size={options.size}:rate={options.fps}"]
        source += ["-re", "-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000"]
    else:
        source = ["-stream_loop", "-1"] if options.loop else []
        source += ["-re"] + (["-ss", f"{offset:.3f}"] if offset > 0 and not options.loop else [])
        source += ["-i", options.input, "-map", "0:v:0", "-map", "0:a:0?"]
    video = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]
    rate = ["-b:v", f"{options.bitrate}k", "-maxrate", f"{options.bitrate}k", "-bufsize", f"{2 * options.bitrate}k"]
    keys = ["-force_key_frames", "expr:gte(t,n_forced*2)", "-sc_threshold", "0", "-bf", "0"]
    audio = ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"]
    length = [] if seconds is None else ["-t", f"{seconds:.3f}"]
    return ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", *source, *video, *rate, *keys, *audio, *length, "-f", "flv", url]


class Encoder:
    """ffmpeg in a session of its own: a Ctrl-C of the terminal is for this program, which then ends it."""

    def __init__(self, arguments, secret):
        self._secret = secret
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log, start_new_session=True
        )

    def exit_code(self):
        """None while it runs."""
        return self._process.poll()

    def stop(self):
        """As the stop button does: ffmpeg says goodbye to the server, which completes the broadcast at once."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def last_words(self):
        """What it complained of last, without the key."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]).replace(self._secret, "STREAM_KEY")


class Broadcast:
    """One run of the program."""

    def __init__(self, options, api, ending):
        self.options = options
        self.api = api
        self.ending = ending
        self.started = time.monotonic()

    def say(self, text):
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        print(f"{minutes:02d}:{seconds:02d}  {text}", flush=True)

    def run(self):
        options = self.options
        settings = {"title": options.title, "latency_mode": options.latency, "tags": options.tag}
        # With the same Idempotency-Key a repetition is answered as the first call was: no second stream, whatever got lost on the way.
        headers = {"Idempotency-Key": options.idempotency_key or str(uuid.uuid4())}
        stream = self.api.call("POST", "/streams", settings, headers)
        self.say(f"stream {stream['id']}: {stream['title']}")
        self.say(f"watch  {stream['watch_url']}")
        self.say(f"hls    {stream['playback']['hls']}")
        try:
            code = self.publish(stream)
            self.complete(stream)
            self.summarize(stream)
            return code
        finally:
            if options.delete:
                self.api.call("DELETE", f"/streams/{stream['id']}", tries=2)
                self.say("deleted")

    def publish(self, stream):
        """Publishes until the input or the time ends, or Ctrl-C; starts a broken encoder again where it left off."""
        url = f"{self.options.rtmp_url or stream['rtmp_url']}/{stream['stream_key']}"
        begun = time.monotonic()
        for attempt in range(1, MAX_ENCODERS + 1):
            sent = time.monotonic() - begun if attempt > 1 else 0.0
            left = None if self.options.seconds is None else max(1.0, self.options.seconds - sent)
            encoder = Encoder(encoder_arguments(self.options, url, sent, left), stream["stream_key"])
            try:
                code = self.follow(stream, encoder)
            finally:
                encoder.stop()
            if code == 0 or self.ending.is_set():
                return 0
            self.say(f"ffmpeg broke off (exit code {code}): {encoder.last_words()}")
            if attempt < MAX_ENCODERS:
                self.ending.wait(2.0)
        raise Stop(ENCODER, "ffmpeg failed too often: check the input, and that the origin can be reached on its RTMP port")

    def follow(self, stream, encoder):
        """Says each second how the stream does, until the encoder ends. Its exit code; 0 where it is to be stopped."""
        while not self.ending.wait(1.0):
            code = encoder.exit_code()
            if code is not None:
                return code
            try:
                now = self.api.call("GET", f"/streams/{stream['id']}", tries=1)
            except (Refused, Stop) as error:
                if isinstance(error, Refused) and error.status in (401, 403, 404):
                    raise
                # What is live stays live while the API is away.
                self.say(f"no news: {error}")
                continue
            self.say(describe(now))
            if now["deleted_at"] is not None:
                raise Stop(REFUSED, "somebody deleted the stream")
        return 0

    def complete(self, stream):
        """Waits until everybody knows that the broadcast is over."""
        deadline = time.monotonic() + 15
        while True:
            now = self.api.call("GET", f"/streams/{stream['id']}", tries=2)
            if now["status"] in ("completed", "error", "pending") or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.say(describe(now))
        if now["status"] == "error":
            raise Stop(REFUSED, f"the broadcast ended by a fault: {now['end_reason']}")

    def summarize(self, stream):
        """What the analytics make of the broadcast. It is no reason to fail where they are not to be had."""
        try:
            found = self.api.call("GET", f"/streams/{stream['id']}/analytics", tries=2)
        except (Refused, Stop) as error:
            self.say(f"no analytics: {error}")
            return
        health, totals, peaks = found.get("health") or {}, found.get("totals") or {}, found.get("peaks") or {}
        if health:
            self.say(f"health  {health['score']} of 100, {health['grade']}")
        for reason in health.get("reasons", []):
            self.say(f"        {reason['message']}")
        if totals:
            self.say(f"totals  {totals['duration_seconds']:.0f} s, watched for {totals['viewer_seconds']} s, {totals['dropped_frames']} frames dropped")
        if peaks:
            self.say(f"peak    {peaks['viewers']['value']:.0f} viewers at {peaks['viewers']['at']}")
        for advice in found.get("recommendations", []):
            self.say(f"advice  {advice['message']}")


def describe(stream):
    return f"{stream['status']:<13} viewers {stream['viewer_count']} (peak {stream['peak_viewers']})"


def read_options():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", default=os.environ.get("NOVA_SITE", "http://localhost:8787"), help="the deployment (NOVA_SITE; default %(default)s)")
    parser.add_argument("--title", default="Broadcast by an example", help="what viewers read")
    parser.add_argument("--tag", action="append", default=[], help="a tag to find the stream by; may be repeated")
    parser.add_argument("--latency", choices=["low", "standard"], default="low", help="two seconds behind, or fewer requests (default %(default)s)")
    parser.add_argument("--input", help="a file that ffmpeg reads; else a test pattern")
    parser.add_argument("--loop", action="store_true", help="begins the file again at its end")
    parser.add_argument("--seconds", type=positive, help="how long; else until the file ends, or Ctrl-C")
    parser.add_argument("--size", default="1280x720", help="of the test pattern (default %(default)s)")
    parser.add_argument("--fps", type=int, default=30, help="of the test pattern (default %(default)s)")
    parser.add_argument("--bitrate", type=int, default=2500, help="of the picture, kbit/s (default %(default)s)")
    parser.add_argument("--rtmp-url", help="where to publish, where it is not what the API says: behind a tunnel, on another port")
    parser.add_argument("--delete", action="store_true", help="deletes the stream at the end")
    parser.add_argument("--idempotency-key", help="makes a second run of the same command use the first one's stream, for a day")
    options = parser.parse_args()
    site = urllib.parse.urlsplit(options.site)
    if site.scheme not in ("http", "https") or not site.netloc:
        parser.error(f"--site {options.site} is not an address such as https://live.example.com")
    if options.input is not None and "://" not in options.input and not os.path.exists(options.input):
        parser.error(f"--input {options.input} is not there")
    if shutil.which("ffmpeg") is None:
        parser.error("ffmpeg is not installed, or not on the PATH")
    key = os.environ.get("NOVA_API_KEY", "")
    if key == "":
        parser.error("NOVA_API_KEY is not set: an API key with the scopes streams:read and streams:write")
    if any(ord(character) < 33 or ord(character) > 126 for character in key):
        parser.error("NOVA_API_KEY is not an API key: it holds spaces or special characters")
    return options, key


def positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("a number of seconds above 0")
    return value


def main():
    options, key = read_options()
    ending = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ending.set())
    try:
        return Broadcast(options, Api(options.site, key, ending), ending).run()
    except Stop as stop:
        print(f"broadcaster: {stop}", file=sys.stderr)
        return stop.code
    except Refused as refusal:
        print(f"broadcaster: the API refused: {refusal}", file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
