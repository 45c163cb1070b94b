"""What every use-case that writes is made of: the leased session, retries, recovery, throttle."""
