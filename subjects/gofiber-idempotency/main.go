// The middleware with its default settings, except for the name of the header and the form of its value, which need not be a UUID.
package main

import (
	"os"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/idempotency"
)

func main() {
	var mutex sync.Mutex
	ledger := []fiber.Map{}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	anyKey := func(string) error { return nil }
	app.Use(idempotency.New(idempotency.Config{KeyHeader: "Idempotency-Key", KeyHeaderValidate: anyKey}))
	app.Post("/payments", func(c *fiber.Ctx) error {
		entry := fiber.Map{}
		if err := c.BodyParser(&entry); err != nil {
			return fiber.ErrBadRequest
		}
		time.Sleep(30 * time.Millisecond)
		mutex.Lock()
		entry["id"] = len(ledger) + 1
		ledger = append(ledger, entry)
		mutex.Unlock()
		time.Sleep(30 * time.Millisecond)
		return c.Status(fiber.StatusCreated).JSON(entry)
	})
	app.Get("/payments", func(c *fiber.Ctx) error {
		mutex.Lock()
		defer mutex.Unlock()
		after := min(c.QueryInt("after"), len(ledger))
		end := min(after+100, len(ledger))
		return c.JSON(fiber.Map{"data": ledger[after:end], "has_more": end < len(ledger)})
	})
	host := os.Getenv("HOST")
	if host == "" {
		host = "127.0.0.1"
	}
	panic(app.Listen(host + ":" + os.Getenv("PORT")))
}
