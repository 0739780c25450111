"""Buys two seats with a client that is generated from schema/openapi.json.  python buy.py http://127.0.0.1:8080"""

import sys
import time
import uuid

from onsale_client import AuthenticatedClient, Client
from onsale_client.api.concerts import list_concerts
from onsale_client.api.performances import list_performances, read_availability
from onsale_client.api.reservations import hold, pay, read_reservation
from onsale_client.api.users import sign_up
from onsale_client.api.wallet import charge, read_wallet
from onsale_client.models import Charge, NewUser, Problem
