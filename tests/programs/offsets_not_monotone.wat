;; Gives text whose offsets run backwards.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"text\",\"type\":\"utf8\",\"nullable\":true}]}")
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 1024) "SKWB\01\00\00\00\01\00\00\00\01\00\00\00\00\01\00\00")
  (data (i32.const 1088) "\06")
  (data (i32.const 1104) "\80\00\00\00\08\00\00\00")
  (data (i32.const 1120) "\c0\00\00\00\04\00\00\00")
  (data (i32.const 1152) "\00\00\00\00\ff\ff\ff\ff")
  (data (i32.const 1216) "abcd")
  (func (export "skewless_transform") (param i32 i32) (result i64)
    (i64.const 0x40000000100)))
