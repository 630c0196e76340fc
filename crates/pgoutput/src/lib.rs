//! Bytes of the pgoutput plugin to messages to rows; sans-I/O.
