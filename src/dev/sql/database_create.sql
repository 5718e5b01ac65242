-- One database for the engine, one for the sample services.
CREATE DATABASE sagabus
CREATE DATABASE services
