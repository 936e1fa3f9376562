(
set -euo pipefail
API=http://127.0.0.1:8000/api/v1
{%- set python = "python3" if is_sandbox else ".venv/bin/python" %}
uuid()  { {{ python }} -c 'import uuid; print(uuid.uuid4())'; }
{% if is_sandbox -%}
token() { curl -sS -H 'Content-Type: application/json' "$API/sandbox/tokens" -d "{\"role\": \"$1\", \"sub\": \"$2\"}" | sed 's/.*"token":"\([^"]*\).*/\1/'; }
{% else -%}
token() { .venv/bin/weelo token --role "$1" --sub "$2"; }
{% endif -%}
send()  { curl -sS -w '\n' -H "Authorization: Bearer $1" -H 'Prefer: wait=10' -H 'Content-Type: application/json' -X "$2" "$API/$3" "${@:4}"; }
id()    { {{ python }} -c 'import json, sys; print(json.load(sys.stdin)["id"])'; }

CUSTOMER=$(token customer "$(uuid)")
FLEET=$(token transporter "$(uuid)")
DRIVER=$(uuid)

echo '1. A fleet of one truck comes online in Delhi.'
TRUCK=$(send "$FLEET" PUT vehicles/DL1LA$RANDOM -d '{"vehicleType": "Open", "vehicleSubtype": "17 Feet"}' | id)
send "$FLEET" PUT "drivers/$DRIVER" -d '{"name": "A driver", "phone": "+91 98100 00000"}'
send "$FLEET" PUT transporter/availability -d '{"isAvailable": true}'
send "$FLEET" POST transporter/heartbeat -d '{"latitude": 28.63, "longitude": 77.22}'

echo '2. A customer asks for a truck to Jaipur.'
BOOKING=$(send "$CUSTOMER" POST bookings -H "Idempotency-Key: $(uuid)" -d '{
  "pickup": {"latitude": 28.61, "longitude": 77.21, "address": "New Delhi"},
  "drop": {"latitude": 26.91, "longitude": 75.79, "address": "Jaipur"},
  "vehicleType": "Open", "vehicleSubtype": "17 Feet", "trucksNeeded": 1}' | id)

echo '3. The fleet sees the offer and accepts it.'
sleep 1
send "$FLEET" GET offers
send "$FLEET" POST "broadcasts/$BOOKING/accept" -d "{\"vehicleId\": \"$TRUCK\", \"driverId\": \"$DRIVER\"}"

echo '4. The customer reads the booking, with its truck, and cancels it.'
send "$CUSTOMER" GET "bookings/$BOOKING"
send "$CUSTOMER" PUT "bookings/$BOOKING/cancel" -d '{"reasonCode": "plans_changed"}'
)
