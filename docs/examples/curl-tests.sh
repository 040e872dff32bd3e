#!/usr/bin/env bash
#
# A guide to the API that runs: each call is printed, sent with curl, and its answer checked.
#
#   API_KEY=... ./curl-tests.sh                                    the platform of `npm start`
#   SITE=https://live.example.com API_KEY=... ./curl-tests.sh      a deployment
#
# Needs bash and curl. The key needs the scopes streams:read, streams:write and keys:write. What the script makes it deletes again, as far as
# the API deletes. WEBHOOK_URL is where the test delivery goes: a closed port of this machine, which only a local run may call; for a
# deployment choose an https address that takes a POST. Ends with `N passed, N failed`; the exit code is 0 where none failed.

set -u
SITE=${SITE:-http://localhost:8787}
SITE=${SITE%/}
WEBHOOK_URL=${WEBHOOK_URL:-http://127.0.0.1:65533/hook}
if [ -z "${API_KEY:-}" ]; then
  echo "curl-tests: set API_KEY to an API key; npm start prints one" >&2
  exit 2
fi
command -v curl >/dev/null || { echo "curl-tests: curl is not installed" >&2; exit 2; }

work=$(mktemp -d) || exit 2
api="$SITE/api/v1"
run="run-$$-$RANDOM"
passed=0
failed=0
status=000
stream="" signed="" webhook="" key=""

# The key goes to curl in a file: on the command line every user of this machine could read it.
use_key() { (umask 077 && printf 'Authorization: Bearer %s\n' "$1" >"$work/authorization"); }
use_key "$API_KEY"

# Whatever is left is deleted, also where the script was interrupted.
clean_up() {
  use_key "$API_KEY"
  for path in ${stream:+streams/$stream} ${signed:+streams/$signed} ${webhook:+webhooks/$webhook} ${key:+api-keys/$key}; do
    curl -s -o /dev/null --max-time 20 -X DELETE -H @"$work/authorization" "$api/$path"
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# --- How calls are made and checked -------------------------------------------------------------------------------------

chapter() { printf '\n== %s\n' "$1"; }
pass() { passed=$((passed + 1)) && printf '   ok    %s\n' "$1"; }
fail() { failed=$((failed + 1)) && printf '   FAIL  %s\n%s\n' "$1" "$(shown)"; }

# The answer, without what must not be seen.
shown() {
  head -c 1500 "$work/body" | sed -E \
    -e 's/("(stream_key|api_key|key|secret|token)":"[^"]{10})[^"]*/\1…/g' \
    -e 's#/t/[^/"]+#/t/TOKEN#g' -e 's/#token=[^"]*/#token=TOKEN/g'
}

# send STATUS METHOD URL [what curl takes]…: prints the call, sends it, and checks the answer's status.
send() {
  local expected=$1 method=$2 url=$3
  shift 3
  printf '\n$ curl -X %s "%s"' "$method" "${url/#"$SITE"/\$SITE}"
  local argument
  for argument in "$@"; do
    case $argument in
    @"$work"/authorization) printf ' "Authorization: Bearer $API_KEY"' ;;
    -*) printf ' %s' "$argument" ;;
    *) printf " '%s'" "$argument" ;;
    esac
  done
  printf '\n'
  : >"$work/body"
  : >"$work/head"
  status=$(curl -sS --max-time 30 -X "$method" -o "$work/body" -D "$work/head" -w '%{http_code}' "$@" "$url")
  printf '  %s %s\n' "$status" "$(shown | head -c 220)"
  if [ "$status" = "$expected" ]; then pass "answered $status"; else fail "answered $status, not $expected"; fi
}

# call STATUS METHOD PATH [JSON] [what curl takes]…: the same for the API, with the key.
call() {
  local expected=$1 method=$2 path=$3
  shift 3
  local body=()
  case ${1:-} in '{'*) body=(-H 'Content-Type: application/json' -d "$1") && shift ;; esac
  send "$expected" "$method" "$api$path" -H @"$work/authorization" ${body[@]+"${body[@]}"} "$@"
}

# holds TEXT WHAT: the answer's body has a text. lacks is its contrary.
holds() { if grep -qF -- "$1" "$work/body"; then pass "$2"; else fail "$2"; fi; }
lacks() { if grep -qF -- "$1" "$work/body"; then fail "$2"; else pass "$2"; fi; }

# has_header NAME TEXT WHAT
has_header() { if header "$1" | grep -qF -- "$2"; then pass "$3"; else fail "$3"; fi; }

# The answer's header; the first text field of a name in its body. jq does the latter better: this needs nothing.
header() { tr -d '\r' <"$work/head" | grep -i "^$1:" | head -n 1 | sed 's/^[^:]*: *//'; }
field() { grep -o "\"$1\":\"[^\"]*\"" "$work/body" | head -n 1 | cut -d '"' -f 4; }

# await TEXT PATH WHAT: what happens in its own time is asked for until it is there.
await() {
  local tries
  for tries in $(seq 40); do
    curl -s --max-time 20 -o "$work/body" -H @"$work/authorization" "$api$2"
    if grep -qF -- "$1" "$work/body"; then pass "$3" && return; fi
    sleep 0.5
  done
  fail "$3"
}

# Ends the script where what comes would make no sense.
needs() {
  if [ "$status" = "$1" ]; then return; fi
  printf '\ncurl-tests: %s\n%d passed, %d failed\n' "$2" "$passed" "$failed"
  exit 1
}

# --- The guide ----------------------------------------------------------------------------------------------------------

chapter "Is it there?"
send 200 GET "$SITE/health"
holds '"status":"ok"' "it is alive"
needs 200 "nothing answers at $SITE as it should: set SITE"
send 200 GET "$SITE/ready"
holds '"status":"ready"' "all that it depends on answers"

chapter "Errors: {error, message, request_id}, and details that name each wrong field"
send 401 GET "$api/streams"
holds '"error":"unauthorized"' "without a key nothing is told"
holds '"request_id":"' "each error can be found again by its request_id"
send 401 GET "$api/streams" -H 'Authorization: Bearer nova_api_made_up'
call 404 GET /streams/0000000000000000000000zz
holds '"error":"stream_not_found"' "a made-up id is nobody's"
call 404 GET /nothing
holds '"error":"not_found"' "unknown addresses answer as JSON, too"
call 405 PUT /streams '{}'
has_header allow POST "Allow names the methods that there are"
call 400 POST /streams '{"title": "", "latency_mode": "fast", "color": "red"}'
holds '"error":"invalid_request"' "it says what kind of error it is"
holds '"field":"title"' "details name the title"
holds '"field":"latency_mode"' "and the mode"
call 400 POST /streams '{"title": '
holds '"error":"invalid_json"' "what is not JSON is called so"

chapter "Who am I?"
call 200 GET /me
needs 200 "the API does not take the key: check API_KEY"
holds '"streams:write"' "the key may change streams"
holds '"keys:write"' "and make keys"

chapter "A stream: create, get, change"
call 201 POST /streams "{\"title\": \"Morning show\", \"description\": \"Made by curl-tests.sh\", \"tags\": [\"$run\"]}"
stream=$(field id)
holds '"stream_key":"nova_' "the key for the encoder is shown this once"
has_header location "/api/v1/streams/$stream" "Location is the stream's address"
needs 201 "without a stream there is nothing more to show"
call 200 GET "/streams/$stream"
tag=$(header etag)
holds '"status":"pending"' "it waits for its first broadcast"
lacks stream_key "the key is not shown again"
call 200 PATCH "/streams/$stream" '{"title": "Evening show"}' -H "If-Match: $tag"
holds '"title":"Evening show"' "it has the new title"
call 412 PATCH "/streams/$stream" '{"title": "Night show"}' -H "If-Match: $tag"
holds '"error":"revision_mismatch"' "a change meant for an older revision is refused"
call 400 PATCH "/streams/$stream" '{}'

chapter "A call that may be repeated: Idempotency-Key"
body="{\"title\": \"Signed show\", \"visibility\": \"signed\", \"tags\": [\"$run\"]}"
call 201 POST /streams "$body" -H "Idempotency-Key: $run"
signed=$(field id)
call 201 POST /streams "$body" -H "Idempotency-Key: $run"
holds "\"id\":\"$signed\"" "the repetition is answered with the same stream"
has_header idempotency-replayed true "and says that it is a repetition"
call 422 POST /streams '{"title": "Another show"}' -H "Idempotency-Key: $run"
holds '"error":"idempotency_mismatch"' "another request may not have the same key"

chapter "Lists: filters, order, pages"
call 200 GET "/streams?tag=$run&sort=created_at&limit=1"
holds "\"id\":\"$stream\"" "the older of the two comes first"
cursor=$(field next_cursor)
call 200 GET "/streams?tag=$run&sort=created_at&limit=1&cursor=$cursor"
holds "\"id\":\"$signed\"" "next_cursor leads to the other"
holds '"next_cursor":null' "which is the last"
call 200 GET "/streams?tag=$run&status=pending&q=EVENING"
holds "\"id\":\"$stream\"" "q finds words of the title, in whatever case"
lacks "\"id\":\"$signed\"" "and nothing else"
call 200 GET '/streams?sort=-viewer_count&limit=5'
call 400 GET '/streams?limit=1000'
call 400 GET '/streams?cursor=made-up'
holds '"error":"invalid_cursor"' "cursors come from pages"

chapter "Stream keys: one for each encoder, rotated and revoked"
call 201 POST "/streams/$stream/keys" '{"label": "Camera 2"}'
first=$(field id)
holds '"stream_key":"nova_' "shown this once"
call 201 POST "/streams/$stream/keys/$first/rotate" '{"overlap_seconds": 60}'
second=$(field id)
call 200 GET "/streams/$stream/keys"
holds "\"id\":\"$second\"" "the new key is listed"
lacks stream_key "no key itself is"
call 204 DELETE "/streams/$stream/keys/$second"
call 409 DELETE "/streams/$stream/keys/$second"
holds '"error":"already_revoked"' "twice is once"

chapter "API keys: scopes, rotation, revocation"
call 201 POST /api-keys '{"name": "Made by curl-tests.sh", "scopes": ["streams:read"]}'
key=$(field id)
reader=$(field key)
use_key "$reader"
call 200 GET "/streams?tag=$run"
holds "\"id\":\"$stream\"" "the new key reads the account's streams"
call 403 POST /streams '{"title": "Not allowed"}'
holds '"error":"forbidden"' "and may not change them"
use_key "$API_KEY"
call 200 GET "/api-keys/$key"
lacks "$reader" "the key itself is not shown again"
call 201 POST "/api-keys/$key/rotate" '{"overlap_seconds": 0}'
old=$key
key=$(field id)
rotated=$(field key)
use_key "$reader"
call 401 GET /me
use_key "$rotated"
call 200 GET /me
use_key "$API_KEY"
call 204 DELETE "/api-keys/$key"
use_key "$rotated"
call 401 GET /me
use_key "$API_KEY"
if [ "$old" != "$key" ]; then curl -s -o /dev/null --max-time 20 -X DELETE -H @"$work/authorization" "$api/api-keys/$old"; fi
key=""

chapter "Who watches, and how it goes"
call 200 GET "/streams/$stream/viewers?limit=10"
holds '"connected":0' "nobody yet"
call 200 GET "/streams/$stream/metrics?step=60"
holds '"points":[' "there are points, where it was live"
call 400 GET "/streams/$stream/metrics?since=2026-02-30T00:00:00Z"
call 200 GET "/streams/$stream/analytics"
holds '"recommendations":[' "what to do better, where it was live"
call 409 POST "/streams/$stream/metadata" '{"payload": {"score": [2, 1]}}'
holds '"error":"not_live"' "viewers are told something only while there is a broadcast"

chapter "Signed playback"
send 401 GET "$SITE/hls/$signed/index.m3u8"
holds '"error":"token_required"' "a signed stream does not play without a token"
call 201 POST "/streams/$signed/playback-tokens" '{"expires_in": 600}'
holds '/t/' "the token stands in the addresses"

chapter "Events: everything that happened, in order"
await '"type":"stream.updated"' "/events?stream_id=$stream" "creation and change are told"
call 200 GET "/events?stream_id=$stream&limit=1"
holds '"type":"stream.created"' "the oldest comes first"
after=$(field next_cursor)
call 200 GET "/events?stream_id=$stream&after=$after"
lacks '"type":"stream.created"' "after goes on where the page before ended"
call 200 GET '/events?type=api_key.revoked&order=desc&limit=1'

chapter "Webhooks: signed deliveries, tried again, visible"
call 201 POST /webhooks "{\"url\": \"$WEBHOOK_URL\", \"event_types\": [\"broadcast.started\", \"broadcast.ended\"]}"
webhook=$(field id)
holds '"secret":"whsec_' "the secret that deliveries are signed with is shown this once"
call 200 POST "/webhooks/$webhook/test"
delivery=$(field id)
holds '"event_type":"webhook.test"' "a test is delivered at once"
holds '"attempts":1' "and what became of it is told"
case $WEBHOOK_URL in http://127.0.0.1:65533/*) holds '"last_error":"connection_failed"' "nobody was there" ;; esac
call 200 GET "/webhooks/$webhook/deliveries"
holds "\"id\":\"$delivery\"" "every delivery is listed"
call 200 GET "/webhooks/$webhook/deliveries/$delivery"
call 202 POST "/webhooks/$webhook/deliveries/$delivery/redeliver"
call 200 PATCH "/webhooks/$webhook" '{"enabled": false}'
call 200 POST "/webhooks/$webhook/rotate-secret" '{"overlap_seconds": 60}'
call 400 POST /webhooks '{"url": "https://169.254.169.254/latest/meta-data"}'
holds '"error":"url_not_allowed"' "private addresses are refused"
call 204 DELETE "/webhooks/$webhook"
call 404 GET "/webhooks/$webhook"
webhook=""

chapter "The end of a stream"
call 204 DELETE "/streams/$stream"
call 409 DELETE "/streams/$stream"
holds '"error":"already_deleted"' "twice is once"
call 410 PATCH "/streams/$stream" '{"title": "Too late"}'
call 200 GET "/streams/$stream"
holds '"deleted_at":"' "the record stays"
call 204 DELETE "/streams/$signed"
stream="" signed=""

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
