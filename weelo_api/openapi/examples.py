"""Examples of bodies and parameters. Each body is valid for its routes; a test sends every one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from weelo_workers.contracts import admin, broadcasts, fleet, offers, policies, relations, trips, webhooks

BROADCAST = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d01"
VEHICLE = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d02"
DRIVER = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d03"
OTHER_VEHICLE = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d04"
OTHER_DRIVER = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d05"
SLOT = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d06"

_DELHI = {"latitude": 28.6315, "longitude": 77.2167, "address": "Connaught Place, New Delhi"}
_JAIPUR = {"latitude": 26.9124, "longitude": 75.7873, "address": "Sindhi Camp, Jaipur"}
_OF_DELHI = {
    "area": {"center": {"latitude": 28.6139, "longitude": 77.209}, "radiusKm": 40},
    "vehicleTypes": ["open", "container"],
    "settings": {"radiusStepsKm": [5, 15, 40], "radiusStepSeconds": 10},
}
_TRUCK = {"vehicleId": VEHICLE, "driverId": DRIVER}
_SECOND_TRUCK = {"vehicleId": OTHER_VEHICLE, "driverId": OTHER_DRIVER}

BODIES: dict[type[BaseModel], dict[str, Any]] = {
    broadcasts.NewBooking: {
        "smallest": {
            "pickup": _DELHI,
            "drop": _JAIPUR,
            "vehicleType": "open",
            "vehicleSubtype": "17 Feet",
            "trucksNeeded": 1,
        },
        "complete": {
            "pickup": _DELHI,
            "drop": _JAIPUR,
            "vehicleType": "open",
            "vehicleSubtype": "17 Feet",
            "trucksNeeded": 2,
            "pricePerTruck": 18000,
            "goodsType": "Cotton bales",
            "distanceKm": 281.5,
            "notes": "Loading from 8 o'clock",
        },
    },
    broadcasts.NewOrder: {
        "two kinds": {
            "pickup": _DELHI,
            "drop": _JAIPUR,
            "vehicleRequirements": [
                {"vehicleType": "open", "vehicleSubtype": "17 Feet", "quantity": 2},
                {"vehicleType": "container", "vehicleSubtype": "32 Feet Multi Axle", "quantity": 1},
            ],
        }
    },
    broadcasts.Cancellation: {
        "with a reason": {"reasonCode": "plans_changed", "reason": "The goods are not ready"}
    },
    admin.Intervention: {"with a reason": {"reason": "The customer asked for it by telephone"}},
    admin.AvailabilityIntervention: {
        "off": {"isAvailable": False, "reason": "The transporter has lost the phone"}
    },
    relations.CustomersRelation: {
        "block": {"relation": "blocked"},
        "prefer": {"relation": "preferred"},
    },
    relations.TransportersRelation: {"block": {"relation": "blocked"}},
    relations.Contract: {
        "with a reason": {"relation": "contracted", "reason": "The contract for this year is signed"}
    },
    policies.NewPolicyVersion: {"an area": {**_OF_DELHI, "reason": "Rings follow too slowly in the morning"}},
    policies.PreviewedPolicy: {"an area": _OF_DELHI},
    policies.PolicyPause: {"paused": {"paused": True, "reason": "The roads are flooded"}},
    webhooks.NewWebhook: {
        "all events": {"url": "https://example.com/weelo", "events": ["*"]},
        "some events": {
            "url": "https://example.com/weelo",
            "events": ["truck_confirmed", "booking_completed"],
            "description": "ERP of the head office",
        },
    },
    webhooks.WebhookChanges: {"activate again": {"isActive": True}},
    webhooks.ResendRange: {"lines 17 to 42": {"fromSeq": 17, "toSeq": 42}},
    offers.Acceptance: {
        "one truck": _TRUCK,
        "several trucks": {"trucks": [_TRUCK, _SECOND_TRUCK], "partial": True},
    },
    offers.OneTruck: {"one truck": _TRUCK},
    offers.SlotsWanted: {"two slots": {"quantity": 2, "vehicleType": "open", "vehicleSubtype": "17 Feet"}},
    offers.Confirmation: {"two trucks": {"assignments": [_TRUCK, _SECOND_TRUCK]}},
    offers.Refusal: {
        "with a reason": {"reasonCode": "price", "reason": "The price does not cover the tolls"}
    },
    trips.DriverRefusal: {"with a reason": {"reasonCode": "driver_unavailable", "reason": "I am ill"}},
    trips.GivingBack: {"breakdown": {"reasonCode": "breakdown", "note": "The clutch has failed"}},
    trips.Replacement: {
        "another driver": {"driverId": OTHER_DRIVER},
        "another vehicle": {"vehicleId": OTHER_VEHICLE, "reasonCode": "breakdown"},
    },
    trips.NoShowReport: {"with a note": {"note": "The gate is locked"}},
    trips.TruckCancellation: {"one truck less": {"reasonCode": "plans_changed"}},
    trips.Ending: {
        "failed": {"outcome": "failed", "reasonCode": "breakdown", "note": "The truck was towed away"}
    },
    trips.TripStep: {"at the pickup": {"status": "at_pickup"}},
    trips.TripLocation: {
        "on the road": {"latitude": 27.9, "longitude": 76.3, "speed": 54.0, "bearing": 225.0}
    },
    fleet.VehicleDetails: {
        "an open truck": {"vehicleType": "open", "vehicleSubtype": "17 Feet", "capacityKg": 5000}
    },
    fleet.DriverDetails: {
        "a driver": {"name": "Ravi Kumar", "phone": "+91 98100 00000", "licenseNumber": "DL-0420110149646"}
    },
    fleet.Availability: {"on": {"isAvailable": True}, "off": {"isAvailable": False}},
    fleet.Heartbeat: {"in Delhi": {"latitude": 28.61, "longitude": 77.21}},
    fleet.DeviceDetails: {"a phone": {"platform": "android"}},
}
"""Examples of bodies by their models, each with a name."""

PARAMETERS: dict[str, Any] = {
    "id": BROADCAST,
    "customerId": "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d09",
    "transporterId": "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d07",
    "tripId": "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d08",
    "driverId": DRIVER,
    "vehicleNumber": "HR55X1234",
    "token": "fcm-token-0001",
    "scope": "delhi",
}
"""Examples of the parameters in paths by their names."""
