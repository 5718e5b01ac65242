//! What is kept in Postgres, behind one trait; in memory for tests and the simulator.
