;; Gives an output of no bytes.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (func (export "skewless_transform") (param i32 i32) (result i64)
    (i64.const 0)))
