;; Gives three rows for fewer.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 1024) "SKWB\01\00\00\00\03\00\00\00\01\00\00\00\c0\00\00\00")
  (data (i32.const 1088) "\05")
  (data (i32.const 1120) "\80\00\00\00\18\00\00\00")
  (func (export "skewless_transform") (param i32 i32) (result i64)
    (i64.const 0x400000000c0)))
