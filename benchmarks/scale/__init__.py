"""How cost grows: a million items for real, a thousand processes simulated, a hundred million on paper."""
