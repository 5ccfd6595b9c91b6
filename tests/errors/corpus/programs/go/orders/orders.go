// Package orders has mistakes in it.
package orders

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// ErrStock says that the shelf is empty.
var ErrStock = errors.New("out of stock")

// NotFound is an order that is not there.
type NotFound struct{ ID int }

func (n NotFound) Error() string { return fmt.Sprintf("order %d not found", n.ID) }

// Store has orders.
type Store struct{ tags map[int]string }

// NewStore forgets to make the map.
func NewStore() *Store { return &Store{} }

// Tag writes to a map that is nil.
//
//go:noinline
func (s *Store) Tag(id int, tag string) { s.tags[id] = tag }

// TagAll is another way to Tag.
//
//go:noinline
func (s *Store) TagAll(ids []int, tag string) {
	for _, id := range ids {
		s.Tag(id, tag)
	}
}

// Load finds nothing.
//
//go:noinline
func (s *Store) Load(id int) error { return NotFound{id} }

// LoadAll is another way to Load.
//
//go:noinline
func (s *Store) LoadAll(ids []int) error {
	for _, id := range ids {
		if err := s.Load(id); err != nil {
			return err
		}
	}
	return nil
}

// First is the first.
//
//go:noinline
func First(values []int) int { return values[0] }

// Batch is another way to First.
//
//go:noinline
func Batch(batches [][]int) int {
	sum := 0
	for _, one := range batches {
		sum += First(one)
	}
	return sum
}

// Address is where it goes.
type Address struct{ City string }

// Order goes somewhere.
type Order struct{ Address *Address }

// City is where an order goes.
//
//go:noinline
func City(order *Order) string { return order.Address.City }

// Labels is another way to City.
//
//go:noinline
func Labels(orders []*Order) []string {
	var found []string
	for _, order := range orders {
		found = append(found, City(order))
	}
	return found
}

// Amount is a number.
//
//go:noinline
func Amount(value any) int { return value.(int) }

// Mean divides by nothing.
//
//go:noinline
func Mean(values []int) int { return len(values) / len(values) }

// Quantity reads a number.
//
//go:noinline
func Quantity(text string) error {
	_, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("quantity: %w", err)
	}
	return nil
}

// Must panics for an error.
//
//go:noinline
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// MustEnv wants a variable.
//
//go:noinline
func MustEnv(name string) string {
	value, ok := os.LookupEnv(name)
	if !ok {
		Must(errors.New("environment variable " + name + " is not set"))
	}
	return value
}

// Deep fails at some depth.
//
//go:noinline
func Deep(n int, order *Order) string {
	if n == 0 {
		return order.Address.City
	}
	return Deep(n-1, order)
}
