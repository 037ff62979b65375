"""Judge: ask a network about pictures, under any condition, and say how good the answers are.

`predict`, `conditions`, `metrics`, `calibration`, `together`, `explain`, `referral`."""
