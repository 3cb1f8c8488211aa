;; Wants a table of a hundred million elements.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (table 100000000 funcref)
  (func (export "skewless_transform") (param i32 i32) (result i64)
    (i64.const -4)))
