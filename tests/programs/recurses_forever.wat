;; Overflows the stack.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (func $down (param i64) (result i64) (i64.add (call $down (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
  (func (export "skewless_transform") (param i32 i32) (result i64)
    (call $down (i64.const 0))))
