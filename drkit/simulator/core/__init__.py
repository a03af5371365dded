"""What every simulated service rests on: state, requests and answers, faults, the clock, the server."""
