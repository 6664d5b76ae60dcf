mod engine;
mod tables;
