"""`choreobench raw`: the ceilings of client and broker without a choreography, beside yardsticks and the machine."""
